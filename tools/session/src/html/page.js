'use strict';
// The read-out under the pointer.
(() => {
  const number = (value, decimals) => value === null ? 'n/a'
    : value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).replace('-', '\u2212');
  const duration = ns => {
    for (const [unit, name] of [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs']]) {
      if (ns >= unit) return number(ns / unit, ns < 9.995 * unit ? 2 : ns < 99.95 * unit ? 1 : 0) + ' ' + name;
    }
    return ns + ' ns';
  };
  // Place of the last value of a sorted list that is not above the given one, or 0.
  const at = (list, value) => {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle] <= value) low = middle + 1; else high = middle;
    }
    return Math.max(0, low - 1);
  };
  const follow = (box, show) => {
    const data = JSON.parse(box.querySelector('script').textContent), readout = box.querySelector('.readout');
    const plots = [...box.querySelectorAll('.plot > svg')], crosses = box.querySelectorAll('.cross');
    readout.textContent = 'Point at a plot to read its values.';
    for (const plot of plots) {
      plot.addEventListener('pointermove', event => {
        const area = plot.getBoundingClientRect();
        const fraction = Math.min(1, Math.max(0, (event.clientX - area.left) / area.width));
        readout.replaceChildren(...show(data, fraction, area.width).map(([name, value]) => {
          const item = document.createElement('span'), figure = document.createElement('b');
          figure.textContent = value;
          item.append(name + ' ', figure);
          return item;
        }));
        for (const cross of crosses) {
          cross.setAttribute('x1', fraction * 100 + '%');
          cross.setAttribute('x2', fraction * 100 + '%');
        }
        box.classList.add('live');
      });
      plot.addEventListener('pointerleave', () => box.classList.remove('live'));
    }
  };
  for (const box of document.querySelectorAll('.panels')) {
    follow(box, (data, fraction, width) => {
      const time = fraction * data.span, place = at(data.t, time);
      const items = [
        ['UTC', new Date(data.start + time).toISOString().slice(11, 23)],
        ['mid', number(data.mid[place] ?? null, data.decimals)],
        ['imbalance', number(data.imbalance[place] ?? null, 2)],
        ['VPIN', number(data.vpin[place] ?? null, 2)],
        ['net', number(data.net[place] ?? null, 2)],
      ];
      const times = data.fills.map(fill => fill[0]), before = at(times, time);
      const near = [before, before + 1].filter(one => one < times.length && Math.abs(times[one] - time) * width < 6 * data.span)
        .sort((one, other) => Math.abs(times[one] - time) - Math.abs(times[other] - time))[0];
      if (near !== undefined) {
        const [, side, maker, price, qty, fills] = data.fills[near];
        items.push([`${fills > 1 ? fills + ' fills' : 'fill'}, ${maker ? 'maker' : 'taker'}: ${side ? 'sell' : 'buy'}`, `${qty} at ${number(price, data.decimals)}`]);
      }
      return items;
    });
  }
  for (const box of document.querySelectorAll('.values')) {
    follow(box, (data, fraction) => {
      const time = fraction * data.span, place = at(data.t, time);
      // Over more than a day the date matters, and milliseconds do not.
      const [from, to] = data.span > 864e5 ? [0, 16] : [11, 23];
      return [['UTC', new Date(data.start + time).toISOString().slice(from, to).replace('T', ' ')],
        ...data.lines.map(line => [line.name, number(line.values[place] ?? null, line.decimals) + line.unit])];
    });
  }
  for (const box of document.querySelectorAll('.curves')) {
    follow(box, (data, fraction) => {
      const nines = data.first + fraction * (data.max - data.first);
      const percentile = nines > (data.last + data.max) / 2 ? 'max' : 'p' + Number((100 - 100 * 10 ** -Math.min(nines, data.last)).toPrecision(Math.ceil(nines) + 1));
      const items = data.curves.map(curve => {
        const place = percentile === 'max' ? curve.ns.length - 1 : at(curve.x, fraction);
        return [curve.name, duration(curve.ns[place])];
      });
      return [['at', percentile], ...items];
    });
  }
})();
