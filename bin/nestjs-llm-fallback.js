#!/usr/bin/env node
// Says in one line what is missing, before anything that needs it is loaded.
import { existsSync } from 'node:fs';

const NEEDED = [22, 19];

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const cli = new URL('../dist/gateway/cli.js', import.meta.url);
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  console.error(`nestjs-llm-fallback needs Node ${NEEDED.join('.')} or newer; this is Node ${process.versions.node}.`);
  process.exitCode = 1;
} else if (!existsSync(cli)) {
  console.error('nestjs-llm-fallback is not built yet: run "npm ci" or "npm run build" first.');
  process.exitCode = 1;
} else {
  const { runCli } = await import(cli.href);
  await runCli(process.argv);
}
