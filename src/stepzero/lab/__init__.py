"""The lab: many small networks really trained, so that a claim about starts can be tried instead of believed."""
