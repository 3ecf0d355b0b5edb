"""What is shown of requests and sites; changes nothing."""
