/** Draws each picture of a video without its green. */
import { contextOf } from './dom.js';
import { cutOut } from './keyer.js';

/** @param {HTMLVideoElement} video @param {HTMLCanvasElement} canvas shown from here on; it takes the pictures' size */
export function drawCutOut(video, canvas) {
  const brush = contextOf(canvas, { willReadFrequently: true });
  const draw = () => {
    const { videoWidth: width, videoHeight: height } = video;
    if (width && (canvas.width !== width || canvas.height !== height)) Object.assign(canvas, { width, height });
    if (width) {
      brush.drawImage(video, 0, 0);
      const picture = brush.getImageData(0, 0, width, height);
      cutOut(picture.data);
      brush.putImageData(picture, 0, 0);
    }
    video.requestVideoFrameCallback(draw);
  };
  video.requestVideoFrameCallback(draw);
  canvas.hidden = false;
}
