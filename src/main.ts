/** Starts the gateway. */
