/**
 * Draws the plots of a simulation's page, in the reader's browser: each when it comes near the screen, in the colours of
 * the style sheet. `uPlot` stands before it in the page; `simulate-plots.ts` says what is in the data.
 */
/* global uPlot, document, window, matchMedia, getComputedStyle, IntersectionObserver, ResizeObserver */
{
  const { scenarios } = JSON.parse(document.getElementById('simulation').textContent);
  const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 4], [12, 4]];
  const FONT = '12px system-ui, sans-serif';
  const ROW_PX = 15;
  const LABEL_PX = 14;
  const SECOND = 1_000;
  const MINUTE = 60 * SECOND;
  const HOUR = 60 * MINUTE;
  const DAY = 24 * HOUR;
  const STEPS_MS = [
    ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
    ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
    ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
    ...[1, 2, 7, 14, 30, 91, 182, 365].map((n) => n * DAY),
  ];
  /** Of so many, thick curves would cover each other. */
  const MANY_POINTS = 500;
  const drawn = new Map();

  const inkOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const shortened = (name) => (name.length > 18 ? `${name.slice(0, 17)}…` : name);
  const number = (value) => Number(value.toPrecision(3)).toLocaleString('en-US');

  function lengthText(ms) {
    if (ms < SECOND) return `${number(ms)} ms`;
    return ms <= 2 * MINUTE ? `${number(ms / SECOND)} s` : `${number(ms / MINUTE)} min`;
  }

  /** Moments are told alike along one axis: `1:30` minutes and seconds, `14 h`, `day 3`. */
  function momentText(ms, spanMs) {
    const two = (value) => String(Math.floor(value)).padStart(2, '0');
    if (spanMs <= 2 * HOUR) return `${Math.floor(ms / MINUTE)}:${two((ms % MINUTE) / SECOND)}`;
    if (spanMs <= 3 * DAY) return `${Math.floor(ms / HOUR)}:${two((ms % HOUR) / MINUTE)} h`;
    return `day ${Math.floor(ms / DAY)}`;
  }

  function textWidth(text) {
    const context = (textWidth.context ??= document.createElement('canvas').getContext('2d'));
    context.font = FONT;
    return context.measureText(text).width;
  }

  /** Falling lines, so that what is missing does not show by its colour alone. */
  function hatched(ink) {
    const tile = document.createElement('canvas');
    tile.width = tile.height = 8 * devicePixelRatio;
    const context = tile.getContext('2d');
    context.globalAlpha = 0.25;
    context.fillStyle = ink;
    context.fillRect(0, 0, tile.width, tile.height);
    context.globalAlpha = 0.9;
    context.strokeStyle = ink;
    context.lineWidth = 1.5 * devicePixelRatio;
    for (const shift of [-1, 0, 1]) {
      context.moveTo((shift - 0.5) * tile.width, -0.5 * tile.width);
      context.lineTo((shift + 1.5) * tile.width, 1.5 * tile.width);
    }
    context.stroke();
    return context.createPattern(tile, 'repeat');
  }

  function downModels(outages) {
    return [...new Set(outages.map(({ model }) => model))].toSorted((a, b) => a - b);
  }

  /** Behind the curves: when which model was down, as a shade, and as a bar above with its name where that fits. */
  function drawOutages(plot, { models, outages }) {
    const { ctx, bbox } = plot;
    const rows = downModels(outages);
    const px = devicePixelRatio;
    ctx.save();
    ctx.textAlign = 'left';
    ctx.textBaseline = 'middle';
    ctx.font = FONT.replace('12px', `${11 * px}px`);
    for (const { model, fromMs, toMs } of outages) {
      const { min, max } = plot.scales.x;
      const from = plot.valToPos(Math.max(fromMs, min), 'x', true);
      const width = Math.max(px, plot.valToPos(Math.min(toMs ?? max, max), 'x', true) - from);
      if (fromMs > max || (toMs ?? max) < min) continue;
      ctx.fillStyle = inkOf('shade');
      ctx.fillRect(from, bbox.top, width, bbox.height);
      const top = bbox.top - (rows.length - rows.indexOf(model)) * ROW_PX * px;
      ctx.globalAlpha = 0.3;
      ctx.fillStyle = inkOf(`model-${model % 6}`);
      ctx.fillRect(from, top, width, (ROW_PX - 2) * px);
      ctx.globalAlpha = 1;
      const label = `${shortened(models[model])} down`;
      if (ctx.measureText(label).width + 8 * px > width) continue;
      ctx.fillStyle = inkOf('text');
      ctx.fillText(label, from + 4 * px, top + (ROW_PX / 2 - 0.5) * px);
    }
    ctx.restore();
  }

  /** Each curve's name at its right end; those that end at one height stand below each other. */
  function drawNames(plot, curves) {
    const { ctx, bbox } = plot;
    const px = devicePixelRatio;
    const labels = curves.map(({ name, ink, values }) => {
      const last = values.findLast((value) => value !== null);
      return { name, ink, y: last === undefined ? bbox.top + bbox.height : plot.valToPos(last, 'y', true) };
    });
    const lowest = bbox.top + bbox.height - (LABEL_PX / 2) * px;
    const inOrder = labels.toSorted((a, b) => a.y - b.y);
    for (const [index, label] of inOrder.entries()) {
      const above = inOrder[index - 1];
      label.y = Math.max(label.y, above ? above.y + LABEL_PX * px : bbox.top);
    }
    for (const [index, label] of [...inOrder.entries()].toReversed()) {
      label.y = Math.min(label.y, lowest - (inOrder.length - 1 - index) * LABEL_PX * px);
    }
    ctx.save();
    ctx.font = FONT.replace('12px', `${12 * px}px`);
    ctx.textAlign = 'left';
    ctx.textBaseline = 'middle';
    for (const { name, ink, y } of inOrder) {
      ctx.fillStyle = inkOf(ink);
      ctx.fillText(shortened(name), bbox.left + bbox.width + 6 * px, y);
    }
    ctx.restore();
  }

  function optionsOf(element, scenario, shown) {
    const { kind, curves, range } = shown;
    const isWait = kind === 'wait';
    const isAnswers = kind === 'answers';
    const rows = downModels(scenario.outages).length;
    const names = isAnswers ? [] : curves.map(({ name }) => textWidth(shortened(name)));
    const marks = isWait ? marksAround(range) : [];
    const thin = scenario.points > MANY_POINTS ? 0.6 : 1;
    const axis = { stroke: inkOf('muted'), font: FONT, ticks: { show: false } };
    const grid = { stroke: inkOf('grid'), width: 1 };
    const valueText = isWait ? lengthText : number;
    return {
      width: element.clientWidth,
      height: isWait ? 280 : 180,
      padding: [rows * ROW_PX + 8, Math.max(32, ...names.map((width) => width + 10)), 0, 0],
      legend: { show: false },
      cursor: { sync: { key: `scenario-${scenario.index}` }, drag: { x: true, y: false }, points: { size: 7 } },
      scales: {
        x: { time: false, range: (_plot, min, max) => [min ?? 0, max ?? scenario.spanMs] },
        y: isWait ? { distr: 3, range: () => [marks[0], marks.at(-1)] } : { range: () => [range[0], range[1] * 1.05] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          incrs: STEPS_MS,
          space: 64,
          size: 30,
          values: (plot, moments) => moments.map((ms) => momentText(ms, plot.scales.x.max - plot.scales.x.min)),
        },
        {
          ...axis,
          grid,
          size: (_plot, texts) => Math.max(30, ...(texts ?? []).map((text) => textWidth(text ?? '') + 14)),
          space: 30,
          ...(isWait && { splits: () => marks }),
          values: (_plot, values) => values.map(valueText),
        },
      ],
      series: [
        {},
        ...curves.map(({ ink }, index) => ({
          stroke: inkOf(ink),
          width: (ink === 'policy-ours' ? 3 : isAnswers && index === 0 ? 1 : 2) * thin,
          dash: isAnswers ? [] : DASHES[dashOf(ink, index)],
          points: { show: isWait ? undefined : false },
          ...(isAnswers && index === 1 && { fill: inkOf('answered-area') }),
        })),
      ],
      ...(isAnswers && { bands: [{ series: [1, 2], fill: hatched(inkOf('lost')) }] }),
      hooks: {
        drawClear: [(plot) => drawOutages(plot, scenario)],
        draw: [(plot) => (isAnswers ? undefined : drawNames(plot, curves))],
        setCursor: [(plot) => readOut(element, plot, shown, valueText)],
        setScale: [(plot, key) => key === 'x' && drawn.has(element) && zoomAll(scenario, plot)],
      },
    };
  }

  function dashOf(ink, index) {
    const policies = ['policy-ours', 'policy-fixed-cooldown', 'policy-first-only', 'policy-plain-loop'];
    return policies.includes(ink) ? policies.indexOf(ink) : index % DASHES.length;
  }

  /** 1, 2 and 5 of every power of ten, from the last below the least value to the first above the greatest. */
  function marksAround([least, most]) {
    const marks = [];
    for (let ten = 10 ** Math.floor(Math.log10(least)); ten <= most * 10; ten *= 10) marks.push(ten, 2 * ten, 5 * ten);
    const first = marks.findLastIndex((mark) => mark <= least);
    return marks.slice(first, marks.findIndex((mark) => mark >= most) + 1);
  }

  /** What the pointer is over, in figures. */
  function readOut(element, plot, { curves, unit }, valueText) {
    const at = plot.cursor.idx;
    const line = element.nextElementSibling;
    if (at === null || at === undefined || plot.cursor.left < 0) {
      line.textContent = '';
      return;
    }
    const figures = curves.map(({ name, values }) => `${name} ${values[at] === null ? '–' : valueText(values[at])}`);
    line.textContent = `${momentText(plot.data[0][at], plot.data[0].at(-1))}: ${figures.join(', ')} (${unit})`;
  }

  /** One scenario's plots show the same stretch of time. */
  function zoomAll(scenario, zoomed) {
    const { min, max } = zoomed.scales.x;
    if (scenario.zoom?.min === min && scenario.zoom.max === max) return;
    scenario.zoom = { min, max };
    for (const { plot, of } of drawn.values()) if (of === scenario && plot !== zoomed) plot.setScale('x', { min, max });
  }

  function draw(element) {
    const scenario = scenarios[Number(element.dataset.scenario)];
    const shown = scenario.plots[Number(element.dataset.plot)];
    const moments = Array.from({ length: scenario.points }, (_, index) => (index + 0.5) * scenario.stepMs);
    const data = [moments, ...shown.curves.map(({ values }) => values)];
    const { min, max } = scenario.zoom ?? { min: 0, max: scenario.spanMs };
    scenario.zoom = { min, max };
    const plot = new uPlot(optionsOf(element, scenario, shown), data, element);
    drawn.set(element, { plot, of: scenario });
    plot.setScale('x', { min, max });
  }

  function redrawAll() {
    for (const [element, { plot }] of drawn) {
      plot.destroy();
      draw(element);
    }
  }

  /** Between two plots: the page stays quick to the touch. */
  const PAUSE_MS = 20;
  const plots = [...document.querySelectorAll('.plot')];
  for (const [index, scenario] of scenarios.entries()) scenario.index = index;
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) if (isIntersecting && !drawn.has(target)) draw(target);
    },
    { rootMargin: '800px' },
  );
  // What is far down is drawn later, one by one: whoever scrolls, prints or takes a picture finds it there.
  const drawNext = () => {
    const next = plots.find((element) => !drawn.has(element));
    if (!next) return;
    draw(next);
    setTimeout(drawNext, PAUSE_MS);
  };
  setTimeout(drawNext, PAUSE_MS);
  const sized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const plot = drawn.get(target)?.plot;
      if (plot && plot.width !== target.clientWidth) plot.setSize({ width: target.clientWidth, height: plot.height });
    }
  });
  for (const element of plots) {
    near.observe(element);
    sized.observe(element);
    element.addEventListener('dblclick', () => {
      const { plot, of } = drawn.get(element);
      plot.setScale('x', { min: 0, max: of.spanMs });
    });
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawAll);
  window.addEventListener('beforeprint', () => {
    for (const element of plots) if (!drawn.has(element)) draw(element);
  });
}
