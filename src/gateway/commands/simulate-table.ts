/** A simulation for the terminal: per scenario a table of its policies; over several, what was answered. */
import type { PolicyReport, ScenarioReport } from '../../simulation/outage/report.js';
import { type Column, textTable } from '../text-table.js';
import { type Measure, measuresOf } from './simulate-measures.js';
import { NOTHING, percentText, settingInWords } from './simulate-words.js';

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

/** Every scenario's availability. */
export function glanceLines(reports: readonly ScenarioReport[]): string[] {
  const names = [...new Set(reports.flatMap(({ policies }) => policies.map(({ policy }) => policy)))];
  return textTable<ScenarioReport>(
    [
      { title: 'ANSWERED', of: ({ scenario }) => scenario },
      ...names.map((name): Column<ScenarioReport> => {
        return { title: name, align: 'right', of: ({ policies }) => answeredBy(policies, name) };
      }),
    ],
    reports,
  );
}

function answeredBy(policies: readonly PolicyReport[], name: string): string {
  const policy = policies.find((one) => one.policy === name);
  return policy ? percentText(policy.answered, policy.requests) : NOTHING;
}
