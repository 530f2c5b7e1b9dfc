/** Tokens of what has no class of its own. In a file apart: an import cycle through a decorator stops the start. */
import type { InjectionToken } from '@nestjs/common';

/** The options as the host gave them. */
export const FALLBACK_OPTIONS: InjectionToken = Symbol('nestjs-llm-fallback.options');
/** The options without what only the module definition uses, checked and joined with everything else. */
export const SETTINGS: InjectionToken = Symbol('nestjs-llm-fallback.settings');
