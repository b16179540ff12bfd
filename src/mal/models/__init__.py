"""The mask network (backbone, instance head, mask head), its EMA teacher, and prediction."""
