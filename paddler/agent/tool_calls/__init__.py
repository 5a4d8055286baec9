"""Tool calls: as they are written, as they ended, and the schemas they have to fit."""
