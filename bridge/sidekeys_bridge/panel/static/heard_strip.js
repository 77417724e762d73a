// What was heard, as a picture that is painted once and then only moved: a ring of thin columns.

const COLUMNS_PER_BEAT = 24;
const WIDTH = 2048; // 85 beats
const STRONGEST = 0.75;

export class HeardStrip {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.width = WIDTH;
    this.clear();
  }

  clear() {
    this.rows = 0;
    this.lowest = 0;
    this.end = null; // the column after the last one, counted along the tape
    this.begin = 0;
  }

  /** Paints columns of an event `heard`, the first of which lies there on the tape. */
  add(tape, { beats_per_column: beatsPerColumn, lowest_pitch: lowest, columns }, rgb) {
    if (columns.length === 0) return;
    const rows = columns[0].length / 2;
    if (rows !== this.rows || lowest !== this.lowest) {
      this.clear();
      this.rows = this.canvas.height = rows;
      this.lowest = lowest;
      this.levels = new Uint8Array(WIDTH * rows);
    }
    const first = Math.round(tape * COLUMNS_PER_BEAT);
    const last = Math.round((tape + columns.length * beatsPerColumn) * COLUMNS_PER_BEAT);
    if (this.end === null || first < this.begin || last > this.end + WIDTH) {
      this.begin = this.end = first;
    }
    for (let column = this.end; column < first; column++) this.#keep(column, null);
    for (let column = first; column < last; column++) {
      const part = (column - first + 0.5) / COLUMNS_PER_BEAT / beatsPerColumn;
      this.#keep(column, columns[Math.min(Math.floor(part), columns.length - 1)]);
    }
    const from = Math.min(this.end, first);
    this.end = Math.max(this.end, last);
    this.begin = Math.max(this.begin, this.end - WIDTH + 1);
    this.#paint(from, last, rgb);
  }

  /** In another color. */
  repaint(rgb) {
    if (this.end !== null) this.#paint(this.begin, this.end, rgb);
  }

  /**
   * Moves the picture to its place.
   * `xOf` and `yOf` give the place of a moment on the tape and of a pitch.
   */
  draw(context, leftTape, rightTape, xOf, yOf) {
    if (this.end === null) return;
    let from = Math.max(Math.floor(leftTape * COLUMNS_PER_BEAT), this.begin);
    const to = Math.min(Math.ceil(rightTape * COLUMNS_PER_BEAT), this.end);
    const top = yOf(this.lowest + this.rows - 0.5);
    const height = yOf(this.lowest - 0.5) - top;
    context.imageSmoothingEnabled = true;
    while (from < to) {
      const place = mod(from);
      const count = Math.min(to - from, WIDTH - place);
      const x = xOf(from / COLUMNS_PER_BEAT);
      const width = xOf((from + count) / COLUMNS_PER_BEAT) - x;
      context.drawImage(this.canvas, place, 0, count, this.rows, x, top, width, height);
      from += count;
    }
  }

  #keep(column, hex) {
    const start = mod(column) * this.rows;
    for (let row = 0; row < this.rows; row++) {
      this.levels[start + row] = hex === null ? 0 : parseInt(hex.slice(2 * row, 2 * row + 2), 16);
    }
  }

  #paint(from, to, [red, green, blue]) {
    const context = this.canvas.getContext("2d");
    while (from < to) {
      const place = mod(from);
      const count = Math.min(to - from, WIDTH - place);
      const image = context.createImageData(count, this.rows);
      for (let column = 0; column < count; column++) {
        for (let row = 0; row < this.rows; row++) {
          const level = this.levels[(place + column) * this.rows + row] / 255;
          const at = 4 * ((this.rows - 1 - row) * count + column);
          image.data[at] = red;
          image.data[at + 1] = green;
          image.data[at + 2] = blue;
          image.data[at + 3] = 255 * STRONGEST * level * level;
        }
      }
      context.putImageData(image, place, 0);
      from += count;
    }
  }
}

const mod = (column) => ((column % WIDTH) + WIDTH) % WIDTH;
