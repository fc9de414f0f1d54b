import { html } from "htm/preact"
import { useContext, useEffect, useRef, useState } from "preact/hooks"
import { go, linkTo } from "./address.js"
import { Live } from "./live.js"
import { p99Of, tokenOf, tokens } from "./load.js"
import { call, CallFailed, usePoll } from "./net.js"
import { Confirm, Faults, fieldOf, Pending, Time } from "./parts.js"
import { countOf, faultWarning, numberOf } from "./words.js"

/** @import { FaultSwitchJson as FaultSwitch, Listed } from "../answers.ts" */
/** @import { Polled } from "./net.js" */

/** @typedef {{ id: number }} User */
/** @typedef {{ product_id: string, product_name: string, stock: number, available: number }} Product */

export const TryView = () => {
  const { session } = useContext(Live)
  const isTried = session.features.includes("try")
  return html`<h1>Try it</h1>
    ${
      isTried
        ? html`<${Place} /><${Load} /><${Stock} />`
        : html`<p>Orders cannot be placed from this page here. Set CONSOLE_TRY=on to allow it.</p>`
    }
    ${session.features.includes("faults") && html`<${FaultSwitches} />`}`
}

/** @param {unknown} error */
const failureIn = (error) => (error instanceof CallFailed ? error : new CallFailed(0, String(error)))

/** A new user; the address is made up, in a domain that is reserved for examples. */
const newUser = async () => {
  const random = Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("")
  const { body } = await call("POST", "/console/api/users", { email: `try-${random}@example.com`, name: "Try it" })
  return body.id
}

/** The newest user, or a new one where there is none. */
const someUser = async () => {
  const { body } = await call("GET", "/console/api/users?limit=1")
  return body.items[0]?.id ?? (await newUser())
}

const Place = () => {
  const [failure, setFailure] = useState(/** @type {CallFailed | undefined} */ (undefined))
  const [isBusy, setBusy] = useState(false)
  /** @type {Polled<Listed<Product>>} */
  const products = usePoll("/console/api/inventory?limit=50", 5_000)
  const place = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault()
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target))
    setBusy(true)
    try {
      const given = fieldOf(form, "user")
      const user_id = given === "" ? await someUser() : given === "new" ? await newUser() : Number(given)
      const item = {
        product_id: fieldOf(form, "product"),
        quantity: Number(fieldOf(form, "quantity")),
        price: fieldOf(form, "price"),
      }
      const { body } = await call("POST", "/console/api/orders", {
        user_id,
        items: [item],
        payment_method: fieldOf(form, "token"),
      })
      go(linkTo("order", body.id))
    } catch (error) {
      setFailure(failureIn(error))
      setBusy(false)
    }
  }
  return html`<section class="panel" aria-labelledby="place">
    <h2 id="place">Place an order</h2>
    <form class="fields" onSubmit=${place}>
      <label>user <input name="user" size="8" placeholder="newest" title="An id, or new" /></label>
      <label
        >product
        <input name="product" size="14" list="products" defaultValue="LAPTOP001" required />
        <datalist id="products">
          ${products.answer?.body.items.map(({ product_id }) => html`<option key=${product_id} value=${product_id} />`)}
        </datalist>
      </label>
      <label>quantity <input name="quantity" type="number" min="1" max="1000000" defaultValue="1" required /></label>
      <label>price <input name="price" size="8" defaultValue="10.50" required /></label>
      <fieldset>
        <legend>payment token</legend>
        ${tokens.map(
          ({ token, word }) =>
            html`<label key=${token} class="check"
              ><input type="radio" name="token" value=${token} defaultChecked=${token === "card_ok"} /> ${word}</label
            >`,
        )}
      </fieldset>
      <p class="buttons"><button class="main" aria-busy=${isBusy}>Place and follow</button></p>
    </form>
    <${Faults} failure=${failure} />
  </section>`
}

/** The load: so many orders a second, for so many seconds. */
const load = { perSecond: 10, seconds: 60 }

const Load = () => {
  const [count, setCount] = useState({ sent: 0, refused: 0, p99: 0, isRunning: false })
  const timer = useRef(/** @type {ReturnType<typeof setInterval> | undefined} */ (undefined))
  const stop = () => {
    clearInterval(timer.current)
    setCount((before) => ({ ...before, isRunning: false }))
  }
  useEffect(() => () => clearInterval(timer.current), [])
  const start = async () => {
    /** @type {Array<number>} */
    const took = []
    let refused = 0
    let n = 0
    const users = [await newUser(), await newUser(), await newUser()]
    const place = async (/** @type {number} */ n) => {
      const began = performance.now()
      const order = { user_id: users[n % users.length], amount: "10.50", payment_method: tokenOf(n) }
      await call("POST", "/console/api/orders", order).then(
        () => took.push(performance.now() - began),
        () => refused++,
      )
      setCount((before) => ({ ...before, sent: took.length, refused, p99: Math.round(p99Of(took)) }))
    }
    setCount({ sent: 0, refused: 0, p99: 0, isRunning: true })
    timer.current = setInterval(() => {
      void place(n++)
      if (n >= load.perSecond * load.seconds) stop()
    }, 1_000 / load.perSecond)
  }
  const { sent, refused, p99, isRunning } = count
  return html`<section class="panel" aria-labelledby="load">
    <h2 id="load">Load</h2>
    <p>${load.perSecond} orders a second for ${load.seconds} s, by three new users, with mixed tokens.</p>
    <p class="buttons">
      ${isRunning ? html`<button type="button" onClick=${stop}>Stop</button>` : html`<button type="button" onClick=${() => start().catch(() => stop())}>Start</button>`}
      <span class="muted" role="status"
        >${sent + refused > 0 && `sent ${numberOf(sent)} · refused ${numberOf(refused)} · p99 ${p99} ms`}</span
      >
    </p>
  </section>`
}

const Stock = () => {
  /** @type {Polled<Listed<Product>>} */
  const products = usePoll("/console/api/inventory?limit=50", 5_000)
  const [failure, setFailure] = useState(/** @type {CallFailed | undefined} */ (undefined))
  const set = async (/** @type {SubmitEvent} */ event, /** @type {Product} */ { product_id, product_name }) => {
    event.preventDefault()
    const stock = Number(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("stock"))
    await call("PUT", `/console/api/inventory/${encodeURIComponent(product_id)}`, { product_name, stock }).then(
      () => setFailure(undefined),
      (error) => setFailure(failureIn(error)),
    )
    products.reload()
  }
  return html`<section class="panel" aria-labelledby="stock">
    <h2 id="stock">Stock</h2>
    ${
      products.answer === undefined
        ? html`<${Pending} polled=${products} />`
        : html`<ul class="products">
            ${products.answer.body.items.map(
              (product) =>
                html`<li key=${product.product_id}>
                  <code>${product.product_id}</code>
                  <span class="muted"
                    >${countOf(product.available, "unit")} of ${numberOf(product.stock)} available</span
                  >
                  <form class="line" onSubmit=${(/** @type {SubmitEvent} */ event) => set(event, product)}>
                    <input
                      name="stock"
                      type="number"
                      min="0"
                      size="6"
                      defaultValue=${product.stock}
                      aria-label=${`stock of ${product.product_id}`}
                    />
                    <button>Set</button>
                  </form>
                </li>`,
            )}
          </ul>`
    }
    <${Faults} failure=${failure} />
  </section>`
}

const FaultSwitches = () => {
  const { faults } = useContext(Live)
  const [asked, setAsked] = useState(/** @type {FaultSwitch | undefined} */ (undefined))
  const [user, setUser] = useState("")
  const [failure, setFailure] = useState(/** @type {CallFailed | undefined} */ (undefined))
  if (faults.answer === undefined) return html`<${Pending} polled=${faults} />`
  const put = async (/** @type {string} */ name, /** @type {object} */ body) => {
    await call("PUT", `/admin/faults/${encodeURIComponent(name)}`, body)
    faults.reload()
  }
  const userOf = (/** @type {FaultSwitch} */ { name }) =>
    name.startsWith("reaction.") && /^\d+$/u.test(user) ? { user_id: Number(user) } : {}
  return html`<section class="panel" aria-labelledby="faults">
    <h2 id="faults">Faults</h2>
    <p class="muted">A fault that is on lasts until it is switched off or the process ends.</p>
    <label
      >for one user, of a reaction
      <input
        size="8"
        inputmode="numeric"
        placeholder="all"
        value=${user}
        onInput=${(/** @type {any} */ event) => setUser(event.target.value.trim())}
    /></label>
    <${Faults} failure=${failure} />
    <ul class="faults">
      ${faults.answer.body.items.map(
        (fault) =>
          html`<li key=${fault.name} class=${fault.enabled ? "on" : ""}>
            <button
              type="button"
              role="switch"
              aria-checked=${fault.enabled}
              aria-label=${fault.name}
              onClick=${() =>
                fault.enabled
                  ? put(fault.name, { enabled: false }).then(
                      () => setFailure(undefined),
                      (error) => setFailure(failureIn(error)),
                    )
                  : setAsked(fault)}
            ></button>
            <code>${fault.name}</code>
            ${fault.enabled && html`<span class="dead">${fault.user_id === undefined ? "" : `user ${fault.user_id}, `}since <${Time} at=${fault.since} as="clock" /></span>`}
          </li>`,
      )}
    </ul>
    ${
      asked !== undefined &&
      html`<${Confirm}
        title=${`Break ${asked.name}`}
        text=${faultWarning(asked.name)}
        button="Break it"
        isDanger=${true}
        run=${() => put(asked.name, { enabled: true, ...userOf(asked) })}
        onClose=${() => setAsked(undefined)}
      />`
    }
  </section>`
}
