"""DICOM: series found in folders, trees, zips and DICOMDIRs, read as volumes; segmentations written of them.

Nothing that tells who the patient is leaves this package but in a segmentation, which is of that patient by its nature:
messages speak of series by number, of files by number, and never quote a header.
"""
