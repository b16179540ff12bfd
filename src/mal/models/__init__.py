"""The network: a backbone, an instance vector, a mask head; and the teacher that follows it."""
