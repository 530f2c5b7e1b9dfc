/** The parts of a simulation's page that are words and tables, and the places in which its plots are drawn. */
import type { PolicyName, ScenarioReport } from '../../simulation/outage/report.js';
import { type Html, html } from '../html.js';
import { loadText, measuresOf, POLICY_WORDS } from './simulate-measures.js';
import type { Plot, ScenarioPlots } from './simulate-plots.js';
import { countText, NOTHING, percentText, settingInWords } from './simulate-words.js';

/** What each policy does. */
export function policyList(reports: readonly ScenarioReport[]): Html {
  return html`<dl>
    ${policyNames(reports).map(
      (name) =>
        html`<dt>${name}</dt>
          <dd>${POLICY_WORDS[name]}</dd>`,
    )}
  </dl>`;
}

/** Every scenario's availability in one table. */
export function glanceTable(reports: readonly ScenarioReport[]): Html {
  const names = policyNames(reports);
  return html`<section>
    <div class="scroll">
      <table>
        <caption>
          Requests that were answered
        </caption>
        <thead>
          <tr>
            <th scope="col">Scenario</th>
            ${names.map((name) => html`<th scope="col" class="${columnClass(name)}">${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${reports.map(
            ({ scenario, policies }, index) =>
              html`<tr>
                <th scope="row"><a href="#scenario-${index}">${scenario}</a></th>
                ${names.map((name) => {
                  const policy = policies.find((one) => one.policy === name);
                  const text = policy ? percentText(policy.answered, policy.requests) : NOTHING;
                  return html`<td class="${columnClass(name)}">${text}</td>`;
                })}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

export function scenarioSection(report: ScenarioReport, plots: ScenarioPlots, index: number): Html {
  const place = (plot: Plot, at: number) => plotPlace(plot, { scenario: index, plot: at });
  const { answers, attempts, wait } = plots;
  return html`<section aria-labelledby="scenario-${index}">
    <h2 id="scenario-${index}">${report.scenario}</h2>
    <p>${report.about}</p>
    <p class="quiet">${settingInWords(report)}</p>
    ${measuresTable(report)}
    <h3>What was answered <span>${answers[0]?.unit ?? ''}</span></h3>
    <ul class="keys">
      <li><i class="answered"></i>answered</li>
      <li><i class="lost"></i>asked, but not answered</li>
    </ul>
    <div class="plots">${answers.map((plot, at) => place(plot, at))}</div>
    <h3>Who was asked <span>${attempts[0]?.unit ?? ''}</span></h3>
    <div class="plots">${attempts.map((plot, at) => place(plot, answers.length + at))}</div>
    <h3>How long answers were waited for <span>p99, logarithmic; a gap: nothing was answered</span></h3>
    <div>${place(wait, answers.length + attempts.length)}</div>
    <p class="quiet">
      Point at a plot for its figures. Drag across it to see a stretch of time closer, double-click to see all again.
    </p>
    ${loadTable(report)}
  </section>`;
}

function measuresTable(report: ScenarioReport): Html {
  const { policies, scenario } = report;
  return html`<table class="measures">
    <caption>
      ${scenario}: the policies side by side
    </caption>
    <thead>
      <tr>
        <th scope="col">Measure</th>
        ${policies.map(({ policy }) => html`<th scope="col" class="${columnClass(policy)}">${policy}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${measuresOf(report).map(
        ({ title, note, of }) =>
          html`<tr>
            <th scope="row">${title} <small>${note}</small></th>
            ${policies.map((policy) => html`<td class="${columnClass(policy.policy)}">${of(policy)}</td>`)}
          </tr>`,
      )}
    </tbody>
  </table>`;
}

/** What the plots of attempts show, in figures. */
function loadTable({ policies, models, scenario }: ScenarioReport): Html {
  const rows = policies.flatMap(({ policy, models: loads }) =>
    models.flatMap((model) => {
      const load = loads.find((one) => one.model === model);
      return load ? [{ policy, load }] : [];
    }),
  );
  return html`<div class="scroll">
    <table>
      <caption>
        ${scenario}: attempts by model
      </caption>
      <thead>
        <tr>
          <th scope="col">Policy and model</th>
          <th scope="col">Attempts</th>
          <th scope="col">Answers</th>
          <th scope="col">Share of answers</th>
          <th scope="col">Attempts while down</th>
          <th scope="col">Load while down, by usual</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ({ policy, load }) =>
            html`<tr class="${columnClass(policy)}">
              <th scope="row">${policy} <small>${load.model}</small></th>
              <td>${countText(load.attempts)}</td>
              <td>${countText(load.answered)}</td>
              <td>${(load.share * 100).toFixed(1)} %</td>
              <td>${countText(load.attemptsWhileDown)}</td>
              <td>${loadText(load)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function plotPlace({ kind, title, subtitle, text }: Plot, at: { scenario: number; plot: number }): Html {
  const isWide = kind === 'wait';
  return html`<figure>
    ${isWide ? '' : html`<figcaption>${title} <span>${subtitle}</span></figcaption>`}
    <div
      class="plot${isWide ? ' wide' : ''}"
      role="img"
      aria-label="${text}"
      data-scenario="${at.scenario}"
      data-plot="${at.plot}"
    ></div>
    <p class="readout" aria-hidden="true"></p>
  </figure>`;
}

function policyNames(reports: readonly ScenarioReport[]): PolicyName[] {
  return [...new Set(reports.flatMap(({ policies }) => policies.map(({ policy }) => policy)))];
}

function columnClass(policy: PolicyName): string {
  return policy === 'ours' ? 'ours' : 'other';
}
