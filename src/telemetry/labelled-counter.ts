/**
 * A count per set of labels, kept as plain numbers and read when somebody scrapes: counting costs a map lookup, not a
 * call into a metrics library. Label values come from configuration and closed lists, so their number has a bound.
 * What a drill caused is counted under the same labels and `drill="true"`, never together with real traffic.
 */
import type { Attributes, Counter } from '@opentelemetry/api';

interface Cell {
  /** Made once: counting and observing allocate nothing. */
  readonly attributes: Attributes;
  value: number;
}

export class LabelledCounter {
  readonly name: string;
  readonly description: string;
  readonly #labels: readonly string[];
  readonly #alsoTo: Counter;
  readonly #cells = new Map<string, Cell>();

  /** @param alsoTo is told of every step: others may count under the same name, so that a sum is no use to it. */
  constructor(name: string, description: string, labels: readonly string[], alsoTo: Counter) {
    this.name = name;
    this.description = description;
    this.#labels = labels;
    this.#alsoTo = alsoTo;
  }

  /** @param values one per label, in their order; none may hold a line feed. */
  add(values: readonly string[], drilled: boolean, by = 1): void {
    const cell = this.#cell(values, drilled);
    cell.value += by;
    this.#alsoTo.add(by, cell.attributes);
  }

  /** From now on observed, as 0 until it counts: a rate has something to start from. */
  show(values: readonly string[]): void {
    this.#cell(values, false);
  }

  observe(tell: (value: number, attributes: Attributes) => void): void {
    for (const { value, attributes } of this.#cells.values()) tell(value, attributes);
  }

  #cell(values: readonly string[], drilled: boolean): Cell {
    const key = drilled ? `${values.join('\n')}\n\n` : values.join('\n');
    let cell = this.#cells.get(key);
    if (!cell) {
      const pairs = this.#labels.map((label, i) => [label, values[i] ?? '']);
      const attributes: Attributes = { ...Object.fromEntries(pairs), ...(drilled && { drill: 'true' }) };
      this.#cells.set(key, (cell = { attributes, value: 0 }));
    }
    return cell;
  }
}
