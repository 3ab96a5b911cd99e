"""Of a labelled spine alone: heights, angles, slips, diameters and volumes, in mm, degrees and ml.

Uses label schemes, the files of datasets and volumes; knows neither networks nor references.
"""
