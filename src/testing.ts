/** The public names of `nestjs-llm-fallback/testing`: scripted model servers for the tests of importing apps. */
export { startScriptedModel } from './simulation/scripted-model.js';
export type {
  CallEnd,
  Script,
  ScriptedCall,
  ScriptedModel,
  ScriptedModelOptions,
} from './simulation/scripted-model.js';
export { reply } from './simulation/scripted-reply.js';
export type {
  AnswerOptions,
  BreakKind,
  Reply,
  ScriptedReply,
  ScriptedToolCall,
  Sending,
  SsePiece,
  WireEnd,
} from './simulation/scripted-reply.js';
