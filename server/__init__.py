"""What happens at the centre."""
