/** A controller of ours under a path of the host's: a class of its own per mount, so that mounts do not meet. */
import { Controller, type Type, VERSION_NEUTRAL } from '@nestjs/common';
import { PATH_METADATA } from '@nestjs/common/constants.js';

export function mountedAt(path: string, controller: Type): Type {
  const own = String(Reflect.getMetadata(PATH_METADATA, controller));
  const parts = [path, own].map((part) => part.replace(/^\/+|\/+$/g, '')).filter((part) => part !== '');
  const Mounted = { [controller.name]: class extends controller {} }[controller.name]!;
  Controller({ path: parts.join('/'), version: VERSION_NEUTRAL })(Mounted);
  return Mounted;
}
