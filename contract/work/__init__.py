"""What is asked of Modelgate: jobs, trainings, and who asks for them."""
