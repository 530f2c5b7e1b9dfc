/** What a person reads when the gateway has started: where it listens, who answers, and what to try. */
import type { Settings } from '../config/settings.js';
import { chainInWords, weakPoints } from './configuration-summary.js';
import type { GatewaySettings } from './gateway-settings.js';

export interface Started {
  /** `http://127.0.0.1:3000` */
  readonly url: string;
  readonly settings: Settings;
  readonly gateway: GatewaySettings;
}

export function startLines({ url, settings, gateway }: Started): string[] {
  const { simulated, chains, configFile } = settings;
  const lines = [`nestjs-llm-fallback is listening on ${url}`];
  if (simulated) {
    lines.push('The models are simulated: no key is needed, nothing leaves this machine.');
    lines.push('For real ones, set OPENAI_API_KEY, or OPENAI_BASE_URL to any compatible server.');
  }
  for (const chain of chains.values()) lines.push(`Chain ${chainInWords(chain)}`);
  if (configFile !== undefined) lines.push(`Config file ${configFile}: a change is taken up at once, if it is valid.`);
  for (const weak of weakPoints(settings, { ofProviders: !simulated })) lines.push(`Note: ${weak}.`);
  if (gateway.redisUrl !== undefined) {
    lines.push('Note: REDIS_URL is set, but this version shares nothing yet: everything is kept in this process.');
  }
  return [...lines, ...tryLines(url, settings, gateway)];
}

function tryLines(url: string, { drills, chains }: Settings, { apiKeys }: GatewaySettings): string[] {
  const key = apiKeys.length > 0 ? ` -H 'authorization: Bearer YOUR_KEY'` : '';
  const chat = (flags: string, more: string, body: object) =>
    `  curl ${flags} ${callableUrl(url)}/chat -H 'content-type: application/json'${key}${more} -d '${JSON.stringify(body)}'`;
  const message = 'What is a fallback?';
  const lines = ['Try a chat:', chat('-sS', '', { message }), 'A stream:', chat('-sSN', '', { message, stream: true })];
  const [first, second] = chains.get('default')?.entries.flat() ?? [];
  if (!drills || !first || !second) return lines;
  return [
    ...lines,
    `With ${first.name} broken, ${second.name} answers:`,
    chat('-sSi', ` -H 'x-fallback-drill: ${first.name}=server_error'`, { message }),
    'A stream that is cut in mid-sentence, and goes on:',
    '  npx nestjs-llm-fallback demo',
  ];
}

/** An address to listen on is not always one to call. */
function callableUrl(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
}
