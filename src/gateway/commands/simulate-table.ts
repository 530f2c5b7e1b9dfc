/** A simulation for the terminal: per scenario a table of its policies. */
import type { PolicyReport, ScenarioReport } from '../../simulation/outage/report.js';
import { type Column, textTable } from '../text-table.js';
import { type Measure, measuresOf } from './simulate-measures.js';
import { settingInWords } from './simulate-words.js';

export function simulationLines(report: ScenarioReport): string[] {
  const columns: Column<Measure>[] = [{ title: 'POLICY', of: ({ title }) => title }, ...report.policies.map(columnOf)];
  return [
    `${report.scenario} (seed ${report.seed})`,
    report.about,
    settingInWords(report),
    ...textTable(columns, measuresOf(report)),
  ];
}

function columnOf(policy: PolicyReport): Column<Measure> {
  return { title: policy.policy, align: 'right', of: ({ of }) => of(policy) };
}
