//! What is: server, listeners, names, certificates, DNS. Looks and changes nothing.
