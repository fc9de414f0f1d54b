import { Agent, type IncomingHttpHeaders, request } from "node:http"
import { expect } from "vitest"

/** A request as it goes over the wire: path and header values are sent as they stand, a body as bytes or text. */
export interface Ask {
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string | ReadonlyArray<string>>>
  /** Sent with its length; a list of texts is sent in chunks, without one. */
  readonly body?: string | Buffer | ReadonlyArray<string>
}

export interface Answered {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** What its JSON says, undefined where it is none. */
  readonly body: any
}

const agent = new Agent({ keepAlive: true, maxSockets: 32 })

export const json = { "content-type": "application/json" }

/** Asks the server at `url`; unlike `fetch` it corrects nothing of the path or the headers. */
export const ask = (url: string, { method = "GET", path, headers = {}, body }: Ask): Promise<Answered> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const length =
      body === undefined || typeof body === "string" || Buffer.isBuffer(body)
        ? { "content-length": Buffer.byteLength(body ?? "") }
        : { "transfer-encoding": "chunked" }
    const sent = request(
      { agent, hostname, port, method, path, headers: { ...(body === undefined ? {} : length), ...headers } as never },
      (response) => {
        const parts: Array<Buffer> = []
        response.on("data", (part: Buffer) => parts.push(part)).on("error", reject)
        response.on("end", () => {
          const text = Buffer.concat(parts).toString()
          resolve({ status: response.statusCode!, headers: response.headers, text, body: parsed(text) })
        })
      },
    )
    sent.on("error", reject)
    if (typeof body === "object" && !Buffer.isBuffer(body)) for (const part of body) sent.write(part)
    sent.end(typeof body === "string" || Buffer.isBuffer(body) ? body : undefined)
  })

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const post = (url: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) =>
  ask(url, { method: "POST", path, headers: { ...json, ...headers }, body: JSON.stringify(body) })

/** The problem that is expected, and the places that it names: pointers into the body, or parameters of the query. */
export interface Expected {
  readonly status: number
  readonly slug: string
  readonly pointers?: ReadonlyArray<string>
  readonly parameters?: ReadonlyArray<string>
}

/** Holds an answer to RFC 9457 and to what is expected: neither more nor fewer places, and nothing of our inside. */
export const expectProblem = (answer: Answered, { status, slug, pointers, parameters }: Expected) => {
  const { body } = answer
  expect({ status: answer.status, type: body?.type }, answer.text.slice(0, 400)).toEqual({
    status,
    type: `/problems/${slug}`,
  })
  expect(answer.headers["content-type"]).toBe("application/problem+json")
  expect(body.status).toBe(status)
  expect(body.title).toMatch(/\S/u)
  expect(body.detail).toMatch(/\S/u)
  expect(answer.text).not.toMatch(/\\n\s*at |node_modules|\.ts\b|Error:|RegExp/u)
  if (pointers === undefined && parameters === undefined) return expect(body).not.toHaveProperty("errors")
  const places = body.errors.map((fault: Record<string, string>) => fault["pointer"] ?? `?${fault["parameter"]}`)
  expect(places.toSorted()).toEqual([...(pointers ?? []), ...(parameters ?? []).map((name) => `?${name}`)].toSorted())
  for (const { detail } of body.errors) expect(detail).toMatch(/\S/u)
}
