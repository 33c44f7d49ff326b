"""The instances' domain names as a DNS server answers them."""
