"""recon_kit: reconcile orders, payments, payouts, bank lines and conversions, with evidence."""
