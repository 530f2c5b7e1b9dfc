/**
 * A host in a process of its own, as small as it gets, in plain JavaScript: imports the built package by its name, says
 * what the start left behind in the process, closes, and must then end by itself.
 *
 * Arguments: `context`, `http` or `microservice`; our options as JSON, with `ask: true` where it is to ask once. With
 * `serve: true` it prints its address instead, and runs until a signal ends it through Nest's shutdown hooks.
 */
import { request } from 'node:http';
import { readdirSync } from 'node:fs';
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FallbackModule, ModelManagerService } from 'nestjs-llm-fallback';

const [, , kind, options] = process.argv;
const { ask = false, serve = false, ...given } = JSON.parse(options);
const environment = JSON.stringify(process.env);
const listeners = JSON.stringify(process.eventNames().map((name) => [name, process.listenerCount(name)]));
const before = handles();

function AppModule() {}
Module({ imports: [FallbackModule.forRoot(given)] })(AppModule);

const app = await start();
const models = app.get(ModelManagerService);
const afterStart = minus(handles(), before);
const environmentChanged = JSON.stringify(process.env) !== environment;
const listenersChanged =
  JSON.stringify(process.eventNames().map((name) => [name, process.listenerCount(name)])) !== listeners;
if (serve) {
  app.enableShutdownHooks();
  await app.listen(0, '127.0.0.1');
  process.stdout.write(`${await app.getUrl()}\n`);
  await new Promise(() => undefined);
}
if (kind === 'http') await app.listen(0, '127.0.0.1');
const text = ask ? (await models.chat('hi')).content : undefined;
const files = readdirSync('.');
const url = kind === 'http' ? await app.getUrl() : undefined;
const status = url ? await statusOf(`${url}/chat`) : undefined;
await app.close();
process.stdout.write(JSON.stringify({ afterStart, files, text, status, environmentChanged, listenersChanged }));

function start() {
  const settings = { logger: false, abortOnError: false };
  if (kind === 'http') return NestFactory.create(AppModule, settings);
  if (kind === 'context') return NestFactory.createApplicationContext(AppModule, settings);
  // A transport of the host's own, which opens no port.
  const strategy = { listen: (done) => done(), close() {}, on() {}, unwrap() {} };
  return NestFactory.createMicroservice(AppModule, { ...settings, strategy });
}

/** What would keep the process alive, but for the pipes it was started with. */
function handles() {
  return process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY|FSReq|File/.test(name));
}

function minus(all, known) {
  const left = [...all];
  for (const name of known) if (left.includes(name)) left.splice(left.indexOf(name), 1);
  return left;
}

function statusOf(address) {
  return new Promise((resolve, reject) => {
    request(address, { method: 'POST', headers: { 'content-type': 'application/json' }, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    })
      .on('error', reject)
      .end('{"message":"hi"}');
  });
}
