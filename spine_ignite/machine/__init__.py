"""The machine that trains: devices and precisions, memory and the allocator, loader processes.

Uses nothing but configuration and the ground; what runs on the machine is not known here.
"""
