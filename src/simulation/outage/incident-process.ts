/**
 * Draws years of incidents of one provider out of the fitted figures, and says what each does to requests. Each provider
 * is drawn from chance of its own: they fail independently (incident-figures.ts).
 *
 * Pure: chance comes in, spells come out.
 */
import {
  ERROR_RATIO,
  type Impact,
  type ImpactFigures,
  type IncidentFigures,
  OUTAGE_SHARE,
  STAGES,
} from './incident-figures.js';
import { drawFromMix, meanOfMix, pickByShare } from './lognormal-mix.js';
import type { Spell, Trouble } from './trouble.js';

/** What a status page shows of an incident. Moments in ms from the start of the simulation. */
export interface Incident {
  readonly fromMs: number;
  readonly toMs: number;
  readonly impact: Impact;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** So many mean gaps before the simulation begins: by then, its first moment is like any other. */
const WARM_UP_GAPS = 30;

/**
 * What failing requests see: errors, refusals for load, gateways that give up on a silent server. A post-mortem names 502
 * and 503 (OpenAI, 2023-11-08); how often which is an assumption.
 */
const FACES = [
  { share: 0.6, failsWith: 'server_error', errorMs: 150 },
  { share: 0.25, failsWith: 'overloaded', errorMs: 100 },
  { share: 0.15, failsWith: 'server_error', errorMs: 20_000 },
] as const;
/** Part of the critical incidents in which nothing is answered at all, no error either; an assumption. */
const HANG_SHARE = 0.25;
/** How many times as long answers take in an incident that is about slowness; an assumption. */
const SLOW_BY = 3;
/** Services differ within a partial outage: its ratio is off its mean by up to two thirds, so that it stays below half. */
const PARTIAL_SPREAD = 2 / 3;

/**
 * @returns spells in the order of their starts, within 0 and `spanMs`; they may overlap.
 */
export function drawIncidents(figures: IncidentFigures, spanMs: number, random: () => number): Spell[] {
  return drawIncidentTimes(figures, spanMs, random)
    .flatMap((incident) => spellsOf(incident, figures.slowShare, random))
    .map((spell) => ({ ...spell, fromMs: Math.max(0, spell.fromMs), toMs: Math.min(spanMs, spell.toMs) }))
    .filter(({ fromMs, toMs }) => fromMs < toMs)
    .toSorted((a, b) => a.fromMs - b.fromMs);
}

/** As a status page would list them, in the order of their starts: those that are open within the span, uncut. */
export function drawIncidentTimes(figures: IncidentFigures, spanMs: number, random: () => number): Incident[] {
  const impacts: readonly ImpactFigures[] = figures.impacts;
  const incidents: Incident[] = [];
  let fromMs = -WARM_UP_GAPS * meanOfMix(figures.gapHours) * HOUR_MS;
  for (;;) {
    fromMs += drawFromMix(figures.gapHours, random) * HOUR_MS;
    if (fromMs >= spanMs) return incidents;
    const { impact, minutes } = pickByShare(impacts, random);
    const toMs = fromMs + drawFromMix(minutes, random) * MINUTE_MS;
    if (toMs > 0) incidents.push({ fromMs, toMs, impact });
  }
}

function spellsOf(incident: Incident, slowShare: number, random: () => number): Spell[] {
  const { impact } = incident;
  const { share: _share, ...face } = pickByShare(FACES, random);
  const trouble = { ...face, slowBy: random() < slowShare ? SLOW_BY : 1 };
  if (random() >= OUTAGE_SHARE[impact]) return [elevatedErrors(incident, trouble)];
  const isTotal = impact === 'critical';
  const errorRatio = isTotal ? ERROR_RATIO.critical : ERROR_RATIO.major * (1 + PARTIAL_SPREAD * (2 * random() - 1));
  const height = { ...trouble, errorRatio, hangs: isTotal && random() < HANG_SHARE };
  return outage(incident, height);
}

/** Elevated errors for as long as it is open. */
function elevatedErrors({ fromMs, toMs }: Incident, trouble: Partial<Trouble>): Spell {
  return { ...trouble, fromMs, toMs, errorRatio: ERROR_RATIO.minor };
}

/** At its height at first; then traffic is let back in steps; then it is fixed and watched until it is closed. */
function outage({ fromMs, toMs }: Incident, height: Partial<Trouble> & { readonly errorRatio: number }): Spell[] {
  const recoveringMs = fromMs + STAGES.recovering * (toMs - fromMs);
  const fixedMs = fromMs + STAGES.fixed * (toMs - fromMs);
  return [
    { ...height, fromMs, toMs: recoveringMs },
    { ...height, fromMs: recoveringMs, toMs: fixedMs, errorRatio: height.errorRatio / 2, hangs: false },
    { ...height, fromMs: fixedMs, toMs, errorRatio: ERROR_RATIO.minor, hangs: false },
  ];
}
