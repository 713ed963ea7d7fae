'use strict';
// A chart shows the values of its curves where it is pointed at. The page is complete without this.

function element(parent, name, className, color) {
  const made = document.createElement(name);
  made.className = className;
  if (color !== undefined) made.style.setProperty('--c', `var(--color${color})`);
  return parent.appendChild(made);
}

// Index of the number in the rising `list` that is nearest to `wanted`.
function nearest(list, wanted) {
  let low = 0, high = list.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low > 0 && wanted - list[low - 1] < list[low] - wanted ? low - 1 : low;
}

function text(value) {
  const size = Math.abs(value);
  if (size >= 1e4 && size < 1e15) return Math.round(value).toLocaleString('en');
  if (size > 0 && (size < 1e-4 || size >= 1e15)) return value.toExponential(3);
  return String(Number(value.toPrecision(4)));
}

function position(value, [low, high], logarithmic) {
  return logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

for (const figure of document.querySelectorAll('figure')) {
  const plot = figure.querySelector('.plot');
  const chart = JSON.parse(figure.querySelector('script').textContent);
  let shown = [];
  const hide = () => {
    for (const part of shown) part.remove();
    shown = [];
  };
  const show = (event) => {
    hide();
    const place = plot.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - place.left) / place.width));
    const wanted = chart.x[0] + share * (chart.x[1] - chart.x[0]);
    const steps = chart.lines.map((line) => line.x[nearest(line.x, wanted)]);
    if (steps.length === 0) return;
    const step = steps.reduce((a, b) => Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a);
    const left = position(step, chart.x, false);
    const cursor = element(plot, 'div', 'cursor');
    cursor.style.left = 100 * left + '%';
    const tip = element(plot, 'div', 'tip');
    if (left > 0.5) tip.style.right = `calc(${100 * (1 - left)}% + .8rem)`;
    else tip.style.left = `calc(${100 * left}% + .8rem)`;
    element(tip, 'div', '').textContent = 'step ' + step.toLocaleString('en');
    shown = [cursor, tip];
    for (const line of chart.lines) {
      const at = nearest(line.x, step);
      // Of a curve that has no point near there, none is shown.
      if (Math.abs(line.x[at] - step) > 0.02 * (chart.x[1] - chart.x[0])) continue;
      const row = element(tip, 'div', '');
      element(row, 'i', 'swatch', line.color);
      const elsewhere = line.x[at] === step ? '' : `, step ${line.x[at].toLocaleString('en')}`;
      element(row, 'span', '').textContent = line.name + elsewhere;
      element(row, 'b', '').textContent = text(line.y[at]);
      const spot = element(plot, 'div', 'spot', line.color);
      spot.style.left = 100 * position(line.x[at], chart.x, false) + '%';
      spot.style.top = 100 * (1 - position(line.y[at], chart.y, chart.logarithmic)) + '%';
      shown.push(spot);
    }
  };
  plot.addEventListener('pointermove', show);
  plot.addEventListener('pointerdown', show);
  plot.addEventListener('pointerleave', hide);
}
