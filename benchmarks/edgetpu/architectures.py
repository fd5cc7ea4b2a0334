"""Networks whose Edge TPU latency was published, built again with random weights: latency does not depend on them.

Most come from keras.applications. Inception v1 and v4 follow the slim model definitions of TensorFlow; their
number of weights agrees with the published file sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Build = Callable[[Any], Any]


def keras_networks(keras: Any) -> dict[str, Callable[[], Any]]:
    """Builders of Keras models by name; nothing is downloaded."""
    nets = keras.applications

    def fresh(build: Any, size: int, **options: Any) -> Callable[[], Any]:
        return lambda: build(weights=None, input_shape=(size, size, 3), **options)

    return {
        "mobilenet_v1_224": fresh(nets.MobileNet, 224),
        "mobilenet_v1_0.5_160_embedding": fresh(nets.MobileNet, 160, alpha=0.5, include_top=False),
        "mobilenet_v1_0.75_192_embedding": fresh(nets.MobileNet, 192, alpha=0.75, include_top=False),
        "mobilenet_v1_224_embedding": fresh(nets.MobileNet, 224, include_top=False),
        "inception_v1_224": lambda: inception_v1(keras),
        "inception_v3_299": fresh(nets.InceptionV3, 299),
        "inception_v4_299": lambda: inception_v4(keras),
        "inception_resnet_v2_299": fresh(nets.InceptionResNetV2, 299),
        "densenet121_224": fresh(nets.DenseNet121, 224),
        "resnet50_v1_299": fresh(nets.ResNet50, 299),
        "resnet50_v2_299": fresh(nets.ResNet50V2, 299),
        "resnet152_v2_299": fresh(nets.ResNet152V2, 299),
        # Their dense layers, nine tenths of the weights, are appended to the graph: see rebuild.py.
        "vgg16_224": fresh(nets.VGG16, 224, include_top=False),
        "vgg19_224": fresh(nets.VGG19, 224, include_top=False),
    }


class _Layers:
    """Convolutions as slim has them: batch normalisation, no bias, ReLU."""

    def __init__(self, keras: Any) -> None:
        self.layers = keras.layers

    def conv(self, x: Any, filters: int, kernel: tuple[int, int], stride: int = 1, padding: str = "same") -> Any:
        x = self.layers.Conv2D(filters, kernel, stride, padding, use_bias=False)(x)
        return self.layers.ReLU()(self.layers.BatchNormalization(scale=False)(x))

    def chain(self, x: Any, *steps: tuple[int, tuple[int, int]]) -> Any:
        for filters, kernel in steps:
            x = self.conv(x, filters, kernel)
        return x

    def pool(self, x: Any, size: int = 3, stride: int = 2, padding: str = "same") -> Any:
        return self.layers.MaxPooling2D(size, stride, padding)(x)

    def mean_of_neighbours(self, x: Any, filters: int) -> Any:
        return self.conv(self.layers.AveragePooling2D(3, 1, "same")(x), filters, (1, 1))

    def join(self, *branches: Any) -> Any:
        return self.layers.Concatenate()(list(branches))

    def classes(self, x: Any, count: int = 1001) -> Any:
        x = self.layers.GlobalAveragePooling2D()(x)
        return self.layers.Dense(count, "softmax")(x)


def inception_v1(keras: Any) -> Any:
    """GoogLeNet as in slim: 3x3 in place of 5x5; 6.6 million weights, the published file has 7.0 MB."""
    net = _Layers(keras)
    image = keras.Input((224, 224, 3))
    x = net.pool(net.conv(image, 64, (7, 7), 2))
    x = net.pool(net.chain(x, (64, (1, 1)), (192, (3, 3))))
    for widths in ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)):
        x = _mixed_v1(net, x, *widths)
    x = net.pool(x)
    for widths in (
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
    ):  # fmt: skip
        x = _mixed_v1(net, x, *widths)
    x = net.pool(x, 2)
    for widths in ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)):
        x = _mixed_v1(net, x, *widths)
    return keras.Model(image, net.classes(x))


def _mixed_v1(net: _Layers, x: Any, one: int, narrow: int, wide: int, thin: int, broad: int, pooled: int) -> Any:
    return net.join(
        net.conv(x, one, (1, 1)),
        net.chain(x, (narrow, (1, 1)), (wide, (3, 3))),
        net.chain(x, (thin, (1, 1)), (broad, (3, 3))),
        net.conv(net.pool(x, 3, 1), pooled, (1, 1)),
    )


def inception_v4(keras: Any) -> Any:
    """Inception v4 as in slim: 42.7 million weights, the published file has 42.9 MB."""
    net = _Layers(keras)
    image = keras.Input((299, 299, 3))
    x = net.conv(image, 32, (3, 3), 2, "valid")
    x = net.conv(net.conv(x, 32, (3, 3), padding="valid"), 64, (3, 3))
    x = net.join(net.pool(x, padding="valid"), net.conv(x, 96, (3, 3), 2, "valid"))
    x = net.join(
        net.conv(net.conv(x, 64, (1, 1)), 96, (3, 3), padding="valid"),
        net.conv(net.chain(x, (64, (1, 1)), (64, (1, 7)), (64, (7, 1))), 96, (3, 3), padding="valid"),
    )
    x = net.join(net.conv(x, 192, (3, 3), 2, "valid"), net.pool(x, padding="valid"))
    for _ in range(4):
        x = net.join(
            net.conv(x, 96, (1, 1)),
            net.chain(x, (64, (1, 1)), (96, (3, 3))),
            net.chain(x, (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
            net.mean_of_neighbours(x, 96),
        )
    x = net.join(
        net.conv(x, 384, (3, 3), 2, "valid"),
        net.conv(net.chain(x, (192, (1, 1)), (224, (3, 3))), 256, (3, 3), 2, "valid"),
        net.pool(x, padding="valid"),
    )
    for _ in range(7):
        x = net.join(
            net.conv(x, 384, (1, 1)),
            net.chain(x, (192, (1, 1)), (224, (1, 7)), (256, (7, 1))),
            net.chain(x, (192, (1, 1)), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
            net.mean_of_neighbours(x, 128),
        )
    x = net.join(
        net.conv(net.conv(x, 192, (1, 1)), 192, (3, 3), 2, "valid"),
        net.conv(net.chain(x, (256, (1, 1)), (256, (1, 7)), (320, (7, 1))), 320, (3, 3), 2, "valid"),
        net.pool(x, padding="valid"),
    )
    for _ in range(3):
        first = net.conv(x, 384, (1, 1))
        second = net.chain(x, (384, (1, 1)), (448, (3, 1)), (512, (1, 3)))
        x = net.join(
            net.conv(x, 256, (1, 1)),
            net.conv(first, 256, (1, 3)),
            net.conv(first, 256, (3, 1)),
            net.conv(second, 256, (1, 3)),
            net.conv(second, 256, (3, 1)),
            net.mean_of_neighbours(x, 256),
        )
    return keras.Model(image, net.classes(x))
