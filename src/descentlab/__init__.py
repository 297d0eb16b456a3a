"""descentlab: which optimizer should a Keras model be trained with?"""
