"""Handshakes of TLCP in the words of the vectors."""

from truth.municipal_tls import told as told
