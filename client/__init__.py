"""What happens on a device."""
