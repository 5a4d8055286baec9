// @vitest-environment happy-dom

import { expect, test } from "vitest";
import { loadConfig } from "../../src/api/config";
import { answering, json } from "../support/answers";

const CONFIG = {
  version: "0.1.0",
  management: { port: 8060, url: null },
  inference: { port: 8061, url: null },
};

test("a service without an address is at its port of the page's host", async () => {
  window.location.href = "http://box.lan:8062/#/model";
  answering(json(CONFIG));
  expect(await loadConfig()).toEqual({
    version: "0.1.0",
    managementUrl: "http://box.lan:8060",
    inferenceUrl: "http://box.lan:8061",
  });
});

test("an address may be whole, or a path of the page's host", async () => {
  window.location.href = "https://box.lan/panel/#/model";
  const management = { port: 8060, url: "https://manage.example/api/" };
  const inference = { port: 8061, url: "/paddler/inference" };
  answering(json({ ...CONFIG, management, inference }));
  expect(await loadConfig()).toMatchObject({
    managementUrl: "https://manage.example/api",
    inferenceUrl: "https://box.lan/paddler/inference",
  });
});

test("a panel whose server fails says so", async () => {
  answering(() => new Response("no", { status: 500 }));
  await expect(loadConfig()).rejects.toThrow("the panel's own server answered 500");
});
