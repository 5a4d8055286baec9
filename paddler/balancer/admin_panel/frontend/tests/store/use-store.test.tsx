// @vitest-environment happy-dom

import { act, render, screen } from "@testing-library/preact";
import { expect, test } from "vitest";
import { Store } from "../../src/store/store";
import { useStore } from "../../src/store/use-store";

function Shown({ store }: { store: Store<string> }) {
  return <output>{useStore(store)}</output>;
}

const shown = () => screen.getByRole("status").textContent;

test("a component shows what its store holds now", () => {
  const store = new Store("a");
  render(<Shown store={store} />);
  expect(shown()).toBe("a");
  act(() => store.set("b"));
  expect(shown()).toBe("b");
});

test("a component that is given another store shows that one, at once", () => {
  const [first, second] = [new Store("first"), new Store("second")];
  const { rerender } = render(<Shown store={first} />);
  rerender(<Shown store={second} />);
  expect(shown()).toBe("second");
  act(() => first.set("no more"));
  expect(shown()).toBe("second");
});
