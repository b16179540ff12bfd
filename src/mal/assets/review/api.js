// Talks to the server. Decisions wait in an outbox, in order, until the server has confirmed each of them.

/** @typedef {import("./rle.js").Rle} Rle */
/** @typedef {import("./store.js").State} State */
/** @typedef {import("./store.js").Change} Change */
/**
 * @typedef {Change & {original: Rle | null, drawn: Rle | null, bbox: number[] | null, problem: string | null}} MaskAnswer
 */
/** @typedef {{row: number, at: number, state: State, segmentation?: Rle, bbox?: number[] | null, operation: string}} Act */

const SECONDS_BETWEEN_TRIES = 2;
const NO_ANSWER = "the server does not answer; start `mal review` again, with the same --port";
const LOCKED_OUT = "the server was started anew: open the address that it printed in another tab, and this page goes on";

export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} kind
   * @param {string} text
   */
  constructor(status, kind, text) {
    super(text);
    this.status = status;
    this.kind = kind;
  }
}

/**
 * The JSON that a path answers.
 * @param {string} path
 * @param {RequestInit} options
 * @returns {Promise<any>}
 */
export async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  if (answer.ok) return answer.json();
  throw await refusalOf(answer);
}

/**
 * @param {Response} answer that is not fine
 * @returns {Promise<Refusal>}
 */
export async function refusalOf(answer) {
  const said = await answer.json().catch(() => ({}));
  const text = said.error ?? `the server answers ${answer.status}`;
  return new Refusal(answer.status, said.kind ?? "", text);
}

/**
 * @param {string} path
 * @param {unknown} body
 * @param {RequestInit} options
 * @returns {Promise<any>}
 */
export function send(path, body, options = {}) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body), ...options });
}

/**
 * @typedef {object} OutboxOwner
 * @property {(act: Act) => object} body of a request, as things are when it is sent
 * @property {(act: Act, change: Change) => void} confirmed
 * @property {(act: Act, refusal: Refusal) => void} refused for good: it was not decided
 * @property {(problem: string | null, isFinal: boolean) => void} waits what keeps decisions from being saved
 * @property {() => void} counted how many wait has changed
 */

export class Outbox {
  /** @param {OutboxOwner} owner */
  constructor(owner) {
    this.owner = owner;
    /** @type {Act[]} */
    this.acts = [];
    this.isBusy = false;
    this.hasProblem = false;
  }

  /**
   * Sends an act after those that wait; a draft that waits is replaced by what comes after it.
   * @param {Omit<Act, "operation">} act
   */
  add(act) {
    const first = this.isBusy ? 1 : 0;
    const place = this.acts.findIndex((other, index) => index >= first && other.row === act.row && other.state === "draft");
    if (place >= 0) this.acts.splice(place, 1);
    this.acts.push({ ...act, operation: crypto.randomUUID() });
    this.owner.counted();
    void this.work();
  }

  /** @param {number} row */
  isWaiting(row) {
    return this.acts.some((act) => act.row === row);
  }

  /** Tries at once what has failed before. */
  retry() {
    void this.work();
  }

  async work() {
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.acts.length) {
      const act = this.acts[0];
      try {
        const change = await send("/api/decide", this.owner.body(act));
        this.settle(act);
        this.owner.confirmed(act, change);
      } catch (error) {
        if (await this.isOver(act, error)) continue;
      }
    }
    this.isBusy = false;
  }

  /** @param {Act} act */
  settle(act) {
    this.acts.splice(this.acts.indexOf(act), 1);
    if (this.hasProblem) this.owner.waits(null, false);
    this.hasProblem = false;
    this.owner.counted();
  }

  /**
   * After an error: whether the act is over; else it is tried again some time later.
   * @param {Act} act
   * @param {unknown} error
   */
  async isOver(act, error) {
    const refusal = error instanceof Refusal ? error : null;
    const isLockedOut = refusal?.status === 401;
    const isTemporary = !refusal || refusal.status >= 500 || isLockedOut || refusal.kind === "file-changed";
    if (refusal && !isTemporary) {
      this.settle(act);
      this.owner.refused(act, refusal);
      return true;
    }
    this.hasProblem = true;
    const text = isLockedOut ? LOCKED_OUT : (refusal?.message ?? NO_ANSWER);
    this.owner.waits(text, refusal?.kind === "file-changed");
    await new Promise((resolve) => setTimeout(resolve, SECONDS_BETWEEN_TRIES * 1000));
    return false;
  }

  /** Sends what waits when the page is left; nobody reads the answers, and what arrives twice counts once. */
  leave() {
    for (const act of this.acts) {
      const body = JSON.stringify(this.owner.body(act));
      const headers = { "Content-Type": "application/json" };
      fetch("/api/decide", { method: "POST", headers, body, keepalive: body.length < 60_000 }).catch(() => {});
    }
  }
}
