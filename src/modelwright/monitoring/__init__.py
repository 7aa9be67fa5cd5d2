"""What a served model was asked and answered."""
