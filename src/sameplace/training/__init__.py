"""Learning from GPS alone: the weakly supervised ranking loss over tuples (section 4 of the paper), rule by rule."""
