"""The model vgg16-vlad, which sameplace finds here by its name."""
