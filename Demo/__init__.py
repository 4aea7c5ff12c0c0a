"""The demo: one command from a scan to a segmentation, a scene and its pictures. Start at demo.py."""
