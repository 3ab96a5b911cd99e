"use strict";
// The viewer: NiiVue on the volumes in this page, and its controls.
(async () => {
  const part = (name) => document.getElementById(`viewer-${name}`);
  const { cases, classes } = JSON.parse(part("data").textContent);
  const VIEWS = { axial: 0, coronal: 1, sagittal: 2, all: 3 };
  const AXES = { [VIEWS.axial]: 2, [VIEWS.coronal]: 1, [VIEWS.sagittal]: 0, [VIEWS.all]: 0 };
  // What NiiVue stacks, from bottom to top. The reference itself is never drawn, but asked what is at the cross.
  const LAYERS = [
    { from: "image" },
    { from: "reference" },
    { from: "prediction" },
    { from: "prediction", border: true },
    { from: "reference", border: true },
  ];
  const NEIGHBOURS = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]];

  const say = (sentence) => {
    part("message").textContent = sentence;
    part("message").hidden = false;
    part("body").hidden = true;
  };
  if (!document.createElement("canvas").getContext("webgl2")) {
    say("The viewer needs WebGL 2, which this browser does not have or has switched off; all else on this page works without it.");
    return;
  }

  const viewer = new niivue.Niivue({
    backColor: [0, 0, 0, 1],
    crosshairColor: [1, 1, 1, 0.55],
    crosshairWidth: 0.4,
    crosshairWidthUnit: "mm",
    dragAndDropEnabled: false,
    isNearestInterpolation: true,
    invertScrollDirection: true, // turning the wheel down leads to higher numbers
    loadingText: "",
    logLevel: "error",
    sagittalNoseLeft: true,
    sliceType: VIEWS.sagittal,
    show3Dcrosshair: false,
    multiplanarShowRender: niivue.SHOW_RENDER.NEVER,
    fontMinPx: 14,
  });

  const axis = () => AXES[viewer.opts.sliceType];
  const size = () => viewer.volumes[0].dimsRAS[axis() + 1];
  const voxel = () => viewer.frac2vox(viewer.scene.crosshairPos);
  // Slices count from the right, the front and the head, against RAS+, as in the pictures.
  const number = () => size() - Math.round(voxel()[axis()]);

  const goTo = (slice) => {
    const step = [0, 0, 0];
    step[axis()] = number() - slice;
    viewer.moveCrosshairInVox(...step);
  };

  const showPlace = (location) => {
    if (viewer.volumes.length < LAYERS.length) return;
    part("slice").max = size();
    part("slice").value = number();
    part("number").textContent = `${number()} of ${size()}`;
    const [, reference, prediction] = location.values.map((found) => classes[Math.round(found.value)]?.name);
    part("place").textContent = `At the cross: reference ${reference}, prediction ${prediction}.`;
  };

  const colors = () => ({
    R: classes.map((entry) => entry.color[0]),
    G: classes.map((entry) => entry.color[1]),
    B: classes.map((entry) => entry.color[2]),
    A: classes.map((_, index) => (index ? 255 : 0)),
    I: classes.map((_, index) => index),
    labels: classes.map((entry) => entry.name),
  });

  const showOverlays = () => {
    if (viewer.volumes.length < LAYERS.length) return;
    const filled = part("outline").checked ? 0 : Number(part("opacity").value) / 100;
    const shown = { reference: part("reference").checked, prediction: part("prediction").checked };
    const opacity = [1, 0, shown.prediction * filled, shown.prediction && !filled ? 1 : 0, shown.reference ? 1 : 0];
    viewer.volumes.forEach((volume, place) => (volume.opacity = opacity[place]));
    viewer.updateGLVolume();
    viewer.updateInterpolation(0, true); // smooth between the voxels of the image, but not of labels
    viewer.drawScene();
  };

  // Only the voxels at the border of their structure within their sagittal slice: NiiVue's own outlines are in 3D, where
  // in thick slices almost every voxel lies at a border.
  const border = (labels, shape, across) => {
    const strides = [1, shape[0], shape[0] * shape[1]];
    const [first, second] = [0, 1, 2].filter((axis) => axis !== across);
    const at = (index, axis, step) => {
      const place = (Math.floor(index / strides[axis]) % shape[axis]) + step;
      return place >= 0 && place < shape[axis];
    };
    const result = new labels.constructor(labels.length);
    for (let index = 0; index < labels.length; index++) {
      if (!labels[index]) continue;
      for (const [a, b] of NEIGHBOURS) {
        const inside = at(index, first, a) && at(index, second, b);
        if (!inside || labels[index + a * strides[first] + b * strides[second]] !== labels[index]) {
          result[index] = labels[index];
          break;
        }
      }
    }
    return result;
  };

  const load = async (id) => {
    const base64 = document.getElementById(id).textContent;
    return niivue.NVImage.loadFromBase64({ base64, name: `${id}.nii.gz`, colormap: "gray" });
  };

  const show = async (chosen) => {
    const volumes = await Promise.all(LAYERS.map((layer) => load(chosen[layer.from])));
    while (viewer.volumes.length) viewer.removeVolume(viewer.volumes[0]);
    for (const [place, volume] of volumes.entries()) {
      if (LAYERS[place].border) volume.img = border(volume.img, volume.hdr.dims.slice(1, 4), chosen.across);
      if (place) volume.setColormapLabel(colors());
      viewer.addVolume(volume);
    }
    showOverlays();
    viewer.scene.crosshairPos = viewer.mm2frac(chosen.cross);
    viewer.drawScene();
    viewer.createOnLocationChange();
    part("canvas").dataset.shown = chosen.title; // says that loading is over
  };

  try {
    await viewer.attachToCanvas(part("canvas"), true);
    viewer.onLocationChange = showPlace;
    for (const [place, entry] of cases.entries()) part("case").append(new Option(entry.title, place));
    part("case").addEventListener("change", () => show(cases[part("case").value]));
    part("view").addEventListener("change", () => {
      viewer.setSliceType(Number(part("view").value));
      viewer.createOnLocationChange();
    });
    part("slice").addEventListener("input", () => goTo(Number(part("slice").value)));
    for (const name of ["reference", "prediction", "outline", "opacity"]) {
      part(name).addEventListener("input", showOverlays);
    }
    await show(cases[0]);
  } catch (error) {
    say(`The viewer could not start (${error.message}); all else on this page works without it.`);
  }
})();
