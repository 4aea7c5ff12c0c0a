# What Slicer would have here does not concern the lists.
