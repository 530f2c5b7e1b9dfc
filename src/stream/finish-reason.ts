/**
 * What a finish reason means, in whatever words it was said: other providers have their own beside OpenAI's, and Google
 * puts details behind a colon.
 */
export type FinishMeaning = 'finished' | 'length' | 'content_filter' | 'error';

export function meaningOfFinish(finishReason: string | null): FinishMeaning {
  const word = finishReason?.split(':')[0]?.trim().toLowerCase();
  if (word === 'length' || word === 'max_tokens' || word === 'model_length') return 'length';
  if (word === 'content_filter' || word === 'error') return word;
  return 'finished';
}
