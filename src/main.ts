/** Starts the gateway. */
import { serve } from './gateway/serve.js';

await serve();
