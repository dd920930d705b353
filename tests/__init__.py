"""Tests of the project, and the lab they run on."""
