import { setTimeout as sleep } from "node:timers/promises"
import type { NewUser, User } from "../../../modules/user/contract/api.ts"
import type { NewOrder, Order } from "../../../modules/order/contract/api.ts"
import type { Deployment } from "./deployment.ts"
import { type Answer, type Callable, type Galleria, until } from "./process.ts"

/** A thing that a shopper asked for, maybe several times with one key. */
export interface Wish {
  readonly path: "/users" | "/orders"
  /** Found again in what was created: the user's e-mail, or the product of the order's only line. */
  readonly tag: string
  readonly body: typeof NewUser.Encoded | typeof NewOrder.Encoded
  readonly key: string | undefined
  /** What it became; undefined while no answer has arrived: then it may exist or not. */
  id: number | undefined
}

/** The requests of shoppers and their answers. */
export interface Ledger {
  readonly wishes: Array<Wish>
  /** By order: 200 says that it is cancelled for good, 409 that it never will be. */
  readonly cancels: Map<number, 200 | 409>
  /** Orders with a published payment. */
  readonly paid: Set<number>
  /** Users whose orders may have changed since the last look. */
  readonly touched: Set<number>
  /** Answers that must not occur. */
  readonly faults: Array<string>
}

export type Random = () => number

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export const randomOf = (seed: number): Random => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface Manners {
  readonly cutOff?: boolean
  /** No new shoppers arrive. */
  readonly regularsOnly?: boolean
  readonly forgiving?: boolean
  readonly pace?: number
}

const crowd = 8

/** The first request with that key is under way. */
const isInProgress = ({ status, body }: Answer<unknown>) =>
  status === 409 && (body as { type?: unknown }).type === "/problems/request-in-progress"

/**
 * A crowd that creates users, orders at once, some with an idempotency key, and cancels, each as fast as it is
 * answered. The ledger says what they know.
 */
export const makeShoppers = (random: Random) => {
  const ledger: Ledger = { wishes: [], cancels: new Map(), paid: new Set(), touched: new Set(), faults: [] }
  const users: Array<number> = []
  /** Users created while events did not get through: no orders for them yet. */
  const newcomers: Array<number> = []
  let isCutOff = false
  let isForgiving = false
  let isForRegulars = false
  let isOver = () => false
  const orders: Array<{ readonly id: number; readonly user: number }> = []
  const below = (end: number) => Math.floor(random() * end)
  /** One of the last ones, so that shoppers meet. */
  const recent = <A>(list: ReadonlyArray<A>): A => list[list.length - 1 - below(Math.min(list.length, 10))]!

  const wish = (path: Wish["path"], tag: string, body: Wish["body"]): Wish => {
    const made = { path, tag, body, key: random() < 0.5 ? `key of ${tag}` : undefined, id: undefined }
    ledger.wishes.push(made)
    return made
  }

  const wishForUser = () => {
    const email = `shopper-${ledger.wishes.length}@example.org`
    return wish("/users", email, { email, name: `Shopper ${ledger.wishes.length}` })
  }

  const wishForOrder = (user_id: number) => {
    const product_id = `WISH-${ledger.wishes.length}`
    const price = `${1 + below(500)}.${10 + below(90)}`
    return wish("/orders", product_id, { user_id, items: [{ product_id, quantity: 1 + below(5), price }] })
  }

  const expect = (what: string, answer: Answer<unknown>, ...statuses: ReadonlyArray<number>) => {
    if (statuses.includes(answer.status)) return true
    ledger.faults.push(`${what} was answered ${answer.status}: ${JSON.stringify(answer.body)}`)
    return false
  }

  /** The answer; undefined when it is unknown, or refused for now and the caller tolerates that. */
  const answerOf = async <Body>(asked: Promise<Answer<Body>>) => {
    try {
      const answer = await asked
      const isRefused = answer.status === 503 || isInProgress(answer)
      return isForgiving && isRefused ? undefined : answer
    } catch (error) {
      if (isForgiving) return undefined
      throw error
    }
  }

  const ask = async (galleria: Callable, wish: Wish) => {
    const { path, tag, key, body, id } = wish
    if ("user_id" in body) ledger.touched.add(body.user_id)
    const headers: Record<string, string> = key === undefined ? {} : { "idempotency-key": key }
    const answer = await answerOf(galleria.call<User | Order>("POST", path, body, headers))
    if (answer === undefined) return
    // The process that created the user was killed before it published that.
    if (path === "/orders" && answer.status === 404 && (isOver() || isForgiving)) return
    if (!expect(`POST ${path} for ${tag}`, answer, 201)) return
    if (id !== undefined && (answer.body.id !== id || answer.headers.get("idempotency-replayed") !== "true")) {
      ledger.faults.push(`${tag} became ${id}, and ${answer.body.id} when it was asked for again with its key`)
    }
    if (id === undefined && path === "/users") (isCutOff ? newcomers : users).push(answer.body.id)
    if (id === undefined && "user_id" in body) orders.push({ id: answer.body.id, user: body.user_id })
    wish.id = answer.body.id
  }

  const cancel = async (galleria: Callable, { id, user }: (typeof orders)[number]) => {
    ledger.touched.add(user)
    const reason = random() < 0.5 ? undefined : { reason: "too many" }
    const answer = await answerOf(galleria.call<Order>("POST", `/orders/${id}/cancel`, reason))
    if (answer === undefined) return
    if (!expect(`the cancellation of order ${id}`, answer, 200, 409)) return
    const before = ledger.cancels.get(id)
    if (before !== undefined && before !== answer.status) {
      ledger.faults.push(`the cancellation of order ${id} was answered ${before}, later ${answer.status}`)
    }
    ledger.cancels.set(id, answer.status as 200 | 409)
  }

  /** Wishes that were not answered and can be asked for again, for they carry a key. */
  const unanswered = () => ledger.wishes.filter(({ key, id }) => key !== undefined && id === undefined)

  /** A new user, who orders at once if that can be. */
  const arrive = async (galleria: Callable) => {
    const user = wishForUser()
    await ask(galleria, user)
    if (user.id !== undefined && !isCutOff) await ask(galleria, wishForOrder(user.id))
  }

  const act = async (galleria: Callable): Promise<void> => {
    const dice = random()
    if (users.length === 0 || (dice < 0.15 && !isForRegulars)) return arrive(galleria)
    if (orders.length > 0 && dice < 0.35) return cancel(galleria, recent(orders))
    return ask(galleria, wishForOrder(recent(users)))
  }

  const each = async <A>(list: ReadonlyArray<A>, work: (item: A) => Promise<void>) => {
    const rest = [...list]
    const one = async () => {
      for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item)
    }
    await Promise.all(Array.from({ length: crowd }, one))
  }

  return {
    ledger,

    /** Asks again, with the same keys, for all that was not answered, and for the last few things that were. */
    askAgain: (galleria: Callable) => {
      const answered = ledger.wishes.filter(({ key, id }) => key !== undefined && id !== undefined)
      return each([...unanswered(), ...answered.slice(-crowd)], (wish) => ask(galleria, wish))
    },

    /** So many users come and order; `forgiving` as in `shop`. */
    welcome: async (galleria: Callable, count: number, { forgiving = false }: Manners = {}) => {
      isForgiving = forgiving
      await each([...Array(count).keys()], () => arrive(galleria))
      isForgiving = false
    },

    /**
     * Shops until `leave` is true or the process is gone; what is under way then is not answered. Where news does not
     * get through (`cutOff`) users come as well, and order later: no module could know them. Where processes come and go
     * (`forgiving`) shoppers continue after a 503 or without an answer. `regularsOnly`: users who are known
     * order and cancel, and no others come. `pace`: milliseconds between two requests of a shopper.
     */
    shop: async (
      galleria: Callable,
      leave: () => boolean,
      { cutOff = false, forgiving = false, regularsOnly = false, pace = 0 }: Manners = {},
    ) => {
      users.push(...newcomers.splice(0))
      isCutOff = cutOff
      isForgiving = forgiving
      isForRegulars = regularsOnly
      isOver = leave
      const open = unanswered().filter(({ path }) => !regularsOnly || path === "/orders")
      const shopper = async () => {
        while (!leave()) {
          const again = open.shift()
          await (again === undefined ? act(galleria) : ask(galleria, again))
          if (pace > 0) await sleep(pace)
        }
      }
      const gone = (error: unknown) => {
        if (!leave()) ledger.faults.push(`a request found no server while the process ran: ${String(error)}`)
      }
      await Promise.all(Array.from({ length: crowd }, () => shopper().catch(gone)))
      isCutOff = false
      isForgiving = false
      isForRegulars = false
      isOver = () => false
    },
  }
}

/** Shops until one more order is placed, however slow the machine is, and for that long; then kills those without warning. */
export const killWhileShopping = async (
  { ledger, shop }: ReturnType<typeof makeShoppers>,
  deployment: Deployment,
  victims: ReadonlyArray<Galleria>,
  millis: number,
) => {
  let killed = false
  const placed = () => ledger.wishes.filter(({ path, id }) => path === "/orders" && id !== undefined).length
  const before = placed()
  const shopping = shop(deployment, () => killed)
  await until("one more order is placed", () => placed() > before || ledger.faults.length > 0)
  await sleep(millis)
  killed = true
  await Promise.all(victims.map((galleria) => galleria.stop("SIGKILL")))
  await shopping
}
