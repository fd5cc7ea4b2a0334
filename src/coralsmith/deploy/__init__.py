"""What a device needs to run a model: the files of a bundle, and the check that its host reads them rightly."""
