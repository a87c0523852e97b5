"""The networks of XFeat and LighterGlue, which sameplace finds here."""
