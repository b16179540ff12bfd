"""Images, crops and the datasets of training and labeling: everything between the disk and the network."""
