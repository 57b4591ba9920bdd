/** Fills the part of the screen beside the picture with the colours of the picture's edges. */
import { contextOf } from '../shared/dom.js';

const PERIOD_MS = 500;
/** The width of an edge, as a share of the picture's. */
const EDGE = 0.02;
const SIDE_PX = 64;

/** @param {HTMLCanvasElement} canvas as large as the screen @param {HTMLVideoElement} video contained in it */
export function paintBackdrop(canvas, video) {
  canvas.width = canvas.height = SIDE_PX;
  const brush = contextOf(canvas, { alpha: false });
  brush.imageSmoothingQuality = 'high';
  const half = SIDE_PX / 2;
  setInterval(() => {
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    const { videoWidth: width, videoHeight: height } = video;
    const across = Math.max(2, width * EDGE);
    const down = Math.max(2, height * EDGE);
    if (innerWidth / innerHeight > width / height) {
      brush.drawImage(video, 0, 0, across, height, 0, 0, half, SIDE_PX);
      brush.drawImage(video, width - across, 0, across, height, half, 0, half, SIDE_PX);
    } else {
      brush.drawImage(video, 0, 0, width, down, 0, 0, SIDE_PX, half);
      // One colour below, of the corner: stripes would go on with a neck that is cut off.
      brush.drawImage(video, 0, height - down, across, down, 0, half, SIDE_PX, half);
    }
  }, PERIOD_MS);
}
